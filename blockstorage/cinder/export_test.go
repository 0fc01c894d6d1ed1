package cinder

// ParsePairs is for tests of the parser.
var ParsePairs = parsePairs
