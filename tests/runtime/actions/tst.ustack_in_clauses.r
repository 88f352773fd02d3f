
              calls`eight

              calls`eight

              calls`eight

              calls`eight
3 0 4


              calls`eight
                5
