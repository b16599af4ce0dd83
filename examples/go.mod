module github.com/holdfast-iam/holdfast/examples

go 1.26.0

require github.com/holdfast-iam/holdfast v0.0.0

require (
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
)

replace github.com/holdfast-iam/holdfast => ../
