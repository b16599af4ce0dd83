package objects

import "slices"

// Values of acr (OpenID Connect Core §2), strongest first; the first two are those of the OpenID Connect Extended
// Authentication Profile. What makes a sign-in worth one of them is in internal/session.
const (
	ACRDeviceBound = "phrh" // phishing-resistant, key in hardware of one device
	ACRPasskey     = "phr"  // phishing-resistant
	ACRPassword    = "1"
)

// ACRValues are all values there are, strongest first.
var ACRValues = []string{ACRDeviceBound, ACRPasskey, ACRPassword}

// MeetsACR says whether a sign-in that is worth one value does where another is asked for. What is not among the values
// is worth nothing and cannot be met.
func MeetsACR(worth, asked string) bool {
	w := slices.Index(ACRValues, worth)
	return w >= 0 && w <= slices.Index(ACRValues, asked)
}

// ACRsFrom are the values that do where one is asked for, weakest first.
func ACRsFrom(asked string) []string {
	list := slices.Clone(ACRValues[:slices.Index(ACRValues, asked)+1])
	slices.Reverse(list)
	return list
}
