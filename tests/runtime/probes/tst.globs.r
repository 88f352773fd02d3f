calls add
calls neg
calls neg
calls eight

