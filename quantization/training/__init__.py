"""Fine-tuning of float models, and quantization-aware training of quantized ones, with Hugging Face's Trainer."""
