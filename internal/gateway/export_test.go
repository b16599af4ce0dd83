package gateway

// Normalise is normalise, for tests and fuzzing.
var Normalise = normalise
