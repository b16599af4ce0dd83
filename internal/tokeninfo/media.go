package tokeninfo

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/web"
)

// Forms of an answer.
const (
	mediaJSON          = "application/json"
	mediaIntrospection = "application/token-introspection+jwt" // RFC 9701 §4
	mediaJWT           = "application/jwt"
)

// preferred is the form that Accept asks for (RFC 9110 §12.5.1): of those with the same weight the one named first, and
// JSON where all are the same to the caller, or none will do.
func preferred(accept []string) string {
	best, most := mediaJSON, 0.0
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		weight := 1.0
		if text, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if media == "*/*" || media == "application/*" {
			media = mediaJSON
		}
		if weight > most && slices.Contains([]string{mediaJSON, mediaIntrospection, mediaJWT}, media) {
			best, most = media, weight
		}
	}
	return best
}

// writeJWT answers with what was signed or encrypted.
func writeJWT(w http.ResponseWriter, media, compact string) {
	web.NoStore(w.Header())
	w.Header().Set("Content-Type", media)
	_, _ = io.WriteString(w, compact) // a caller that has gone cannot be told
}
