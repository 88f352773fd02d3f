profile tick-500
profile tick-1000
profile tick-5000

