"""Whether prints help to train a recogniser of fingers that it never saw: protocol line 10 of an enlarged database."""
