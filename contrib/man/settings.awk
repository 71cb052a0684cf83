# Makes the settings that a program's --help shows into a list of mdoc(7).

function line(text) {
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
