
calls`add
calls`main+0xOFFSET
|
              calls`add
              calls`main+0xOFFSET

|
calls`add
calls`main+0xOFFSET
|
              calls`add
              calls`main+0xOFFSET

|
calls`add

calls`neg


              calls`add
                2

              calls`neg
                2

