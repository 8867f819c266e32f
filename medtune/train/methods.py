"""Which weights a method trains."""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from medtune.errors import UserError
from medtune.train.config import Full, Lora


def prepare_model(model: PreTrainedModel, method: Full | Lora, *, seed: int) -> PreTrainedModel | PeftModel:
    """The model with the method's weights, and only those, set to be trained; `seed` draws new ones."""
    torch.manual_seed(seed)
    match method:
        case Full():
            return model.requires_grad_(True)
        case Lora():
            targets = (
                method.target_modules
                if isinstance(method.target_modules, str)
                else list(method.target_modules)
            )
            names = [name for name, _ in model.named_modules()]
            for target in targets if isinstance(targets, list) else []:
                if not any(f".{name}".endswith(f".{target}") for name in names):
                    raise UserError(f"method.target_modules: the model has no layer {target}")
            peft = LoraConfig(
                task_type="CAUSAL_LM",
                r=method.rank,
                lora_alpha=method.alpha,
                lora_dropout=method.dropout,
                target_modules=targets,
            )
            try:
                return get_peft_model(model, peft)
            except ValueError as error:
                raise UserError(f"method.target_modules: {' '.join(str(error).split())}") from None
