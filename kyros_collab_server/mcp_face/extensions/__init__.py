"""Extensions of the protocol that this face speaks."""
