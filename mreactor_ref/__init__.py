"""The reference: MReactor in readable PyTorch. Nothing here is imported before it is needed."""
