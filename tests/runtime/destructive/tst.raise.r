unchanged, 3

                3
