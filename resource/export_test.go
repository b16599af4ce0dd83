package resource

// The parsers of outside bytes, for fuzzing.
var (
	ParseAuthorization = parseAuthorization
	ParseMetadata      = parseMetadata
	ParseClientCert    = parseClientCert
	TokenInQuery       = tokenInQuery
	ClaimedHost        = claimedHost
	ParseToken         = parseToken
)
