# Reads one JSON document and prints a line "path<TAB>value" for each scalar in
# it, such as "/public_keys/mine<TAB>ssh-ed25519 AAAA". A string of several
# lines gives a line for each. Exits 1 when a string does not end.

{ s = s $0 "\n" }

END { value("") }

function space() { sub(/^[ \t\r\n]+/, "", s) }

function next_char(  c) {
	space()
	c = substr(s, 1, 1)
	s = substr(s, 2)
	return c
}

function emit(path, text,  lines, n, i) {
	sub(/\n+$/, "", text)
	n = split(text, lines, "\n")
	for (i = 1; i <= n; i++) print path "\t" lines[i]
}

# Characters beyond ASCII become "?".
function unicode(hex,  i, n) {
	hex = tolower(hex)
	for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
	return n > 0 && n < 128 ? sprintf("%c", n) : "?"
}

# The rest of a string whose opening quote is gone.
function string(  out, c) {
	while (match(s, /["\\]/)) {
		out = out substr(s, 1, RSTART - 1)
		c = substr(s, RSTART, 1)
		s = substr(s, RSTART + 1)
		if (c == "\"") return out
		c = substr(s, 1, 1)
		s = substr(s, 2)
		if (c == "u") {
			out = out unicode(substr(s, 1, 4))
			s = substr(s, 5)
		} else if (c == "n") out = out "\n"
		else if (c == "t") out = out "\t"
		else if (c == "r" || c == "b" || c == "f") out = out " "
		else out = out c
	}
	exit 1
}

function value(path,  c, n, key) {
	c = next_char()
	if (c == "{") {
		do {
			if (next_char() != "\"") return
			key = string()
			gsub(/[\t\n]/, " ", key)
			next_char() # the colon
			value(path "/" key)
		} while (next_char() == ",")
	} else if (c == "[") {
		space()
		if (substr(s, 1, 1) == "]") {
			next_char()
			return
		}
		do value(path "/" n++)
		while (next_char() == ",")
	} else if (c == "\"") {
		emit(path, string())
	} else if (match(s, /[],} \t\r\n]/)) {
		emit(path, c substr(s, 1, RSTART - 1))
		s = substr(s, RSTART)
	}
}
