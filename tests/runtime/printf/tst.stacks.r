<
calls`text
calls`main+0x114
|
  calls`text
|calls`text|calls|calls`text>

              calls`text

