
END { trace(nothing); }
