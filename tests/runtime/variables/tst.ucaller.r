eight calls`main
text calls`main
eight 1
text 1

