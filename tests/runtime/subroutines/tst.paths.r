[lib] [.] [foo] [/]
[/usr] [.] [/] [a]
[/foo/baz/x/y] [/] [/a..b/...]
[bar] [/foo] [a]
[../../b] [.] [] [.]

