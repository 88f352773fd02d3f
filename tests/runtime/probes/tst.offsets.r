passed_on 7
either 4 1
passed_on 7
either 4 1
only_ret entry
only_ret 0
only_ret return

