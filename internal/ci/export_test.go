package ci

var (
	ParseProperties  = parseProperties
	EscapeProperties = escapeProperties
)
