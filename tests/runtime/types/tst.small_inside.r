18 hi words

