"""An event in, numbers out: decoding, history and features."""
