from dataclasses import replace

import pytest
import torch

from rufous.core.errors import CheckpointError, ConfigError
from rufous.networks.text_encoders import (
    OPENCLIP_VIT_H_14,
    CLIPTokenizer,
    TextEncoder,
    TextEncoderConfig,
    WordTokenizer,
    from_openclip_keys,
    write_byte_vocabulary,
)

TINY = TextEncoderConfig(vocab_size=30, context_length=9, width=16, heads=2, layers=3, embed_dim=6)
WORDS = ("a", "red", "circle", "moves", "left")


def tiny_encoder(config: TextEncoderConfig = TINY) -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(config).eval()


def ids() -> torch.Tensor:
    return torch.tensor([[1, 5, 6, 7, 29, 0, 0, 0, 0], [1, 8, 29, 0, 0, 0, 0, 0, 0]])


def test_the_preset_has_the_published_number_of_parameters():
    with torch.device("meta"):
        encoder = TextEncoder(OPENCLIP_VIT_H_14)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 354_032_641 - 1  # no logit scale


@torch.no_grad()
def test_a_token_does_not_see_those_after_it():
    encoder, changed = tiny_encoder(), ids()
    changed[:, 3:] = 9
    assert torch.allclose(encoder(ids())[:, :3], encoder(changed)[:, :3], atol=1e-6)
    assert not torch.allclose(encoder(ids())[:, 3], encoder(changed)[:, 3], atol=1e-4)


@pytest.mark.parametrize("layer", ["penultimate", "last"])
@pytest.mark.parametrize("quick_gelu", [False, True])
@torch.no_grad()
def test_the_tower_agrees_with_transformers(layer, quick_gelu):
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    encoder = tiny_encoder(replace(TINY, layer=layer, quick_gelu=quick_gelu))
    theirs = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=30,
            hidden_size=16,
            intermediate_size=64,
            projection_dim=6,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=9,
            hidden_act="quick_gelu" if quick_gelu else "gelu",
            eos_token_id=29,
            bos_token_id=1,
            pad_token_id=0,
        )
    ).eval()
    theirs.load_state_dict(transformers_keys(encoder), strict=False)
    answer = theirs(input_ids=ids(), output_hidden_states=True)
    hidden = answer.hidden_states[-2 if layer == "penultimate" else -1]
    norm = theirs.text_model.final_layer_norm
    tokens = norm(hidden) if layer == "penultimate" else answer.last_hidden_state
    assert torch.allclose(encoder(ids()), tokens, atol=1e-5)
    assert torch.allclose(encoder.pooled(ids()), answer.text_embeds, atol=1e-5)


def transformers_keys(encoder: TextEncoder) -> dict[str, torch.Tensor]:
    """Our weights under the names of transformers' CLIP."""
    ours = encoder.state_dict()
    theirs = {
        "text_model.embeddings.token_embedding.weight": ours["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": ours["positional_embedding"],
        "text_model.final_layer_norm.weight": ours["ln_final.weight"],
        "text_model.final_layer_norm.bias": ours["ln_final.bias"],
        "text_projection.weight": ours["text_projection"].T,
    }
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    names["attn.out_proj"] = "self_attn.out_proj"
    for i in range(encoder.config.layers):
        for kind in ("weight", "bias"):
            for our, their in names.items():
                value = ours[f"transformer.resblocks.{i}.{our}.{kind}"]
                theirs[f"text_model.encoder.layers.{i}.{their}.{kind}"] = value
            joined = ours[f"transformer.resblocks.{i}.attn.in_proj_{kind}"].chunk(3)
            for letter, value in zip("qkv", joined, strict=True):
                theirs[f"text_model.encoder.layers.{i}.self_attn.{letter}_proj.{kind}"] = value
    return theirs


@torch.no_grad()
def test_the_pooled_embedding_reads_the_end_token_only():
    encoder, changed = tiny_encoder(), ids()
    changed[:, 5:] = 3
    assert encoder.pooled(ids()).shape == (2, 6)
    assert torch.allclose(encoder.pooled(ids()), encoder.pooled(changed), atol=1e-6)
    ends = torch.tensor([4, 2])
    assert torch.equal(encoder.pooled(ids()), encoder.pooled(ids(), ends))


def test_activation_checkpointing_changes_no_gradient():
    gradients = []
    for is_checkpointed in (False, True):
        encoder = tiny_encoder(replace(TINY, gradient_checkpointing=is_checkpointed))
        encoder.pooled(ids()).square().sum().backward()
        gradients.append(encoder.token_embedding.weight.grad)
    assert torch.allclose(*gradients, atol=1e-6)


def test_too_many_tokens_are_refused():
    with pytest.raises(ValueError, match="use at most context_length=9"):
        tiny_encoder()(torch.zeros(1, 10, dtype=torch.long))


def test_a_tower_is_found_inside_a_whole_checkpoint():
    tower = tiny_encoder().state_dict()
    rest = {"logit_scale": torch.zeros(()), "visual.proj": torch.zeros(2), "attn_mask": torch.zeros(2)}
    whole = {f"cond_stage_model.model.{name}": value for name, value in (tower | rest).items()}
    found = from_openclip_keys(whole, prefix="cond_stage_model.model.")
    tiny_encoder().load_state_dict(found)
    with pytest.raises(CheckpointError, match="no open_clip text tower"):
        from_openclip_keys(whole)


def test_contradictions_in_a_config_are_refused():
    with pytest.raises(ConfigError, match="no multiple"):
        replace(TINY, heads=3)
    with pytest.raises(ConfigError, match="penultimate"):
        replace(TINY, layers=1)
    with pytest.raises(ConfigError, match="unknown text fields depth"):
        TextEncoderConfig.from_reference({"depth": 3})


def test_words_become_ids_between_start_and_end():
    tokenizer = WordTokenizer(WORDS)
    found, mask = tokenizer.encode(["A red circle.", "", "a blue circle"], 7)
    assert found.tolist() == [[1, 4, 5, 6, 2, 0, 0], [1, 2, 0, 0, 0, 0, 0], [1, 4, 3, 6, 2, 0, 0]]
    assert mask.sum(dim=1).tolist() == [5, 2, 5]
    assert tokenizer.end_positions(found).tolist() == [4, 1, 4]
    assert len(tokenizer) == 9


def test_no_prompts_give_no_rows():
    assert WordTokenizer(WORDS).encode([], 7)[0].shape == (0, 7)


def test_a_prompt_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="use at most 2"):
        WordTokenizer(WORDS).encode(["a red circle"], 4)


@pytest.mark.parametrize("words", [("a", "a"), ("Red",), ("two words",), ("<pad>",)])
def test_a_bad_vocabulary_is_refused(words):
    with pytest.raises(ValueError, match=r"twice|single lower-case"):
        WordTokenizer(words)


def test_a_vocabulary_survives_its_file(tmp_path):
    path = tmp_path / "words.json"
    WordTokenizer(WORDS).save(path)
    assert WordTokenizer.load(path).vocabulary == WordTokenizer(WORDS).vocabulary
    path.write_text("[]")
    with pytest.raises(CheckpointError, match="is not a word vocabulary"):
        WordTokenizer.load(path)


def test_clips_tokenizer_reads_local_files_and_pads_with_zero(tmp_path):
    vocabulary = ["!", "c", "a", "t", "t</w>", "ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    text = ", ".join(f'"{word}": {i}' for i, word in enumerate(vocabulary))
    (tmp_path / "vocab.json").write_text(f"{{{text}}}")
    (tmp_path / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    found, mask = CLIPTokenizer(tmp_path).encode(["Cat", ""], 5)
    assert found.tolist() == [[7, 6, 8, 0, 0], [7, 8, 0, 0, 0]]
    assert mask.sum(dim=1).tolist() == [3, 2]


def test_a_byte_vocabulary_knows_every_text_by_its_bytes(tmp_path):
    write_byte_vocabulary(tmp_path / "made")
    tokenizer = CLIPTokenizer(tmp_path / "made")
    assert len(tokenizer) == 2 * 256 + 2
    ids, mask = tokenizer.encode(["ab \u00e9\u4e2d\u00ad", ""], 77)
    assert ids.shape == (2, 77)
    assert mask.sum(dim=1).tolist() == [2 + 2 + 2 + 3 + 2, 2]  # start, end, and a token a byte
    unknown = len(tokenizer) - 1  # CLIP's end token stands for what it does not know, too
    assert (ids[0, 1 : mask[0].sum() - 1] != unknown).all()


def test_a_folder_without_tokenizer_files_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="has no vocab"):
        CLIPTokenizer(tmp_path)
