package web

import (
	"net/http"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Error codes that pages of browser applications get from the token handler and the gateway, beside invalid_request,
// login_required, insufficient_scope and server_error.
const (
	MissingCustomHeader oauth.Code = "missing_custom_header"
	UntrustedOrigin     oauth.Code = "untrusted_origin"
	InvalidState        oauth.Code = "invalid_state"              // the login that is answered is not one of this browser
	LoginExpired        oauth.Code = "login_expired"              // or is one no more
	SessionExpired      oauth.Code = "session_expired"            // there was a session
	TokenExpired        oauth.Code = "token_expired"              // refresh, and try again
	Unauthorized        oauth.Code = "unauthorized"               // there is no session
	AuthorizationError  oauth.Code = "authorization_error"        // the authorization server has refused
	AuthorizationServer oauth.Code = "authorization_server_error" // the authorization server has failed
	CookieTooLarge      oauth.Code = "cookie_too_large"
	TooManyRequests     oauth.Code = "too_many_requests"
)

// appAnswers are the status and the message of each code. A message is for the log of a page, and never depends on the
// request.
var appAnswers = map[oauth.Code]struct {
	status  int
	message string
}{
	MissingCustomHeader:          {http.StatusBadRequest, "the request lacks the header that pages of the application send"},
	UntrustedOrigin:              {http.StatusForbidden, "the request does not come from a page of the application"},
	oauth.InvalidRequest:         {http.StatusBadRequest, "the request is malformed"},
	InvalidState:                 {http.StatusBadRequest, "the answer does not belong to a login of this browser"},
	LoginExpired:                 {http.StatusBadRequest, "the login took too long, or has been completed before"},
	oauth.LoginRequired:          {http.StatusUnauthorized, "somebody has to sign in"},
	SessionExpired:               {http.StatusUnauthorized, "the session is over"},
	TokenExpired:                 {http.StatusUnauthorized, "the access token has expired"},
	Unauthorized:                 {http.StatusUnauthorized, "there is no session"},
	oauth.InsufficientScope:      {http.StatusForbidden, "the session does not allow this"},
	AuthorizationError:           {http.StatusBadRequest, "the authorization server refused the request"},
	AuthorizationServer:          {http.StatusBadGateway, "the authorization server failed to answer"},
	CookieTooLarge:               {http.StatusRequestHeaderFieldsTooLarge, "the cookies are too large: delete those of this host, or have them hold less"},
	TooManyRequests:              {http.StatusTooManyRequests, "there are too many requests"},
	oauth.ServerError:            {http.StatusInternalServerError, "the server met an unexpected condition"},
	oauth.TemporarilyUnavailable: {http.StatusServiceUnavailable, "the server is busy"},
}

// appRefusal has the members that pages of either dialect read.
type appRefusal struct {
	ErrorCode     oauth.Code `json:"error_code"`
	DetailedError string     `json:"detailed_error,omitempty"`
	Code          oauth.Code `json:"code"`
	Message       string     `json:"message"`
}

// AppDoor answers pages of browser applications: {"error_code", "detailed_error", "code", "message"}. The details are
// for developers and are left out unless detailed. The Content-Type is application/json without parameters, for there
// are clients that compare it as a whole.
func AppDoor(detailed bool) Door {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		e := visible(err)
		a := appRefusal{ErrorCode: e.Code, Code: e.Code, Message: http.StatusText(e.HTTPStatus())}
		status := e.Status
		if known, ok := appAnswers[e.Code]; ok {
			a.Message = known.message
			if status == 0 {
				status = known.status
			}
		}
		if status == 0 {
			status = e.HTTPStatus()
		}
		if detailed {
			a.DetailedError = e.Detail
		}
		setHeaders(w, e)
		_ = WriteJSON(w, status, a) // strings always marshal
	}
}
