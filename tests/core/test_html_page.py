import base64
import io
import re

import numpy as np
from PIL import Image

from rufous.core.html_page import named_list, page, picture, table


def test_a_page_fetches_nothing_and_escapes_its_title():
    text = page("<b>", "<p>body</p>", style=".own {}")
    assert "default-src 'none'" in text
    assert "<title>&lt;b&gt;</title>" in text
    assert text.index(".own {}") < text.index("<p>body</p>")
    assert not re.search(r"<script|https?://", text)


def test_cells_and_lists_are_plain_text():
    text = table(("a", "<i>"), [("1", "<i>")])
    assert text.count("&lt;i&gt;") == 2
    assert text.count("<th>") == text.count("<td>") == 2
    assert named_list("T", [("<i>", "x")]).startswith("<h2>T</h2>")
    assert "<i>" not in named_list("", [("<i>", "x")])
    assert named_list("T", []) == ""


def test_a_picture_is_inside_the_page():
    pixels = np.full((8, 12, 3), 200, np.uint8)
    found = re.fullmatch(
        r'<img width="12" height="8" alt="&lt;a&gt;" src="data:image/webp;base64,(.*)">\n',
        picture(pixels, alt="<a>"),
    )
    assert found is not None
    assert Image.open(io.BytesIO(base64.b64decode(found[1]))).size == (12, 8)
