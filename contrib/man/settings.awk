# Makes the settings that a program's --help shows into a list of mdoc(7).

# A sentence a line, as mdoc wants it.
function line(text) {
    while (match(text, /[.] [A-Z]/))
        text = substr(text, 1, RSTART) "\n" substr(text, RSTART + 2)
    gsub(/\\/, "\\e", text)
    sub(/^[.']/, "\\\\\\&&", text)
    print text
}

/^  [A-Z][A-Z0-9_]*$/ { print ".It Ev " $1; known = 1; next }
/^      / && known {
    text = substr($0, 7)
    if (text ~ /[.]$/) line(text)
    else { print ".Po"; line(text); print ".Pc" }
}
