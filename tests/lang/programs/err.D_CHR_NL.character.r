dtrap: failed to compile script err.D_CHR_NL.character.d: [D_CHR_NL] line 6: newline encountered in character constant
    BEGIN { trace('a
                  ^~
