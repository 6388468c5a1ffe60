from bedrock.slots import Slot

__all__ = ["Slot"]
