key|=value|othe
ab|..cd|1
______________|Z

