dtrap: failed to compile script err.D_CHR_NL.character.d: [D_CHR_NL] line 5: newline encountered in character constant
    BEGIN { trace('a
                  ^~
