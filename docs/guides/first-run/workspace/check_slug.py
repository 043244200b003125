from slug import slug

WANTED = {
    "Hello, World!": "hello-world",
    "  two   spaces ": "two-spaces",
    "a -- b": "a-b",
    "Ünï Cödé": "uni-code",
    "": "",
}
for title, wanted in WANTED.items():
    if slug(title) != wanted:
        print(f"slug({title!r}) is {slug(title)!r}, not {wanted!r}")
print(f"passed: {sum(slug(title) == wanted for title, wanted in WANTED.items())} of {len(WANTED)}")
