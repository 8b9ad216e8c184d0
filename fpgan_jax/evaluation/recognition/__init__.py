"""Whether prints help to train a recognizer of fingers that it never saw: protocol line 10 of an enlarged database."""
