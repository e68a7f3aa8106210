"""A detector and a captioner of transformers, tiny and with random weights, as folders of a hub."""

from pathlib import Path

import torch

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", "a", "red", "circle", "beach", "sky")
CLASSES = {0: "person", 1: "motorbike", 2: "tvmonitor"}


def write_detector(folder: Path) -> Path:
    """RT-DETR that reads 64x64 and finds up to 10 things."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil

    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="basic",
    )
    backbone.out_features = ["stage2", "stage3", "stage4"]
    config = RTDetrConfig(
        backbone_config=backbone,
        d_model=16,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 8, 8],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        decoder_layers=1,
        num_queries=10,
        num_denoising=0,
        id2label=CLASSES,
        label2id={name: index for index, name in CLASSES.items()},
    )
    torch.manual_seed(0)
    RTDetrForObjectDetection(config).eval().save_pretrained(folder)
    RTDetrImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def write_captioner(folder: Path) -> Path:
    """BLIP that reads 32x32 and knows the words of ``WORDS``."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {name: WORDS.index(word) for name, word in {"bos": "[DEC]", "eos": "[SEP]", "pad": "[PAD]"}.items()}
    text = {f"{name}_token_id": index for name, index in ids.items()} | {"sep_token_id": ids["eos"]}
    config = BlipConfig(
        text_config={**tower, **text, "vocab_size": len(WORDS), "encoder_hidden_size": 16},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
    )
    torch.manual_seed(0)
    BlipForConditionalGeneration(config).eval().save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)})
    pixels = BlipImageProcessorPil(size={"height": 32, "width": 32})
    BlipProcessor(pixels, tokenizer).save_pretrained(folder)
    return folder
