42 word tst.operands.d

