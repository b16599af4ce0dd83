package holdfasttest_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

var update = flag.Bool("update", false, "write docs/security/matrix.md instead of comparing it")

// Who uses a credential.
const (
	byHolder = iota
	byOtherKey
	byNoKey
	byHeader
	byOtherApp
	afterwards // by the right holder, or by somebody who has the key too
	everybody
)

// Where it is used.
const (
	atIssuer  = "issuer"
	atHandler = "token handler"
	atGateway = "gateway"
	atAPI     = "API, directly"
	insideAPI = "API, as the gateway"
)

// What comes of it.
const (
	nowhere     = "no connection"
	invalid     = "401 invalid_token"
	wrongProof  = "401 invalid_dpop_proof"
	noClient    = "401 invalid_client"
	noSession   = "401 unauthorized"
	sessionOver = "401 session_expired"
	noGrant     = "400 invalid_grant"
	badRequest  = "400 invalid_request"
)

// matrix says what each credential is worth, where, and to whom.
var matrix = []struct {
	credential, place string
	want              [everybody]string
}{
	{jwtKey, atIssuer, all("200", invalid)},
	{jwtKey, atGateway, [everybody]string{"200", wrongProof, invalid, invalid, wrongProof, invalid}},
	{jwtKey, atAPI, all(nowhere, nowhere)},
	{jwtKey, insideAPI, all(invalid, invalid)},
	{opaqueKey, atIssuer, all("200", invalid)},
	{opaqueKey, atGateway, [everybody]string{"200", wrongProof, invalid, invalid, wrongProof, invalid}},
	{opaqueKey, atAPI, all(nowhere, nowhere)},
	{opaqueKey, insideAPI, all(invalid, invalid)},
	{jwtCertificate, atIssuer, all("200", invalid)},
	{jwtCertificate, atGateway, all("200", invalid)},
	{jwtCertificate, atAPI, all(nowhere, nowhere)},
	{jwtCertificate, insideAPI, all(invalid, invalid)},
	{opaqueCertificate, atIssuer, all("200", invalid)},
	{opaqueCertificate, atGateway, all("200", invalid)},
	{opaqueCertificate, atAPI, all(nowhere, nowhere)},
	{opaqueCertificate, insideAPI, all(invalid, invalid)},
	{sessionOfApp, atHandler, [everybody]string{"200", "200", noSession, noSession, sessionOver, sessionOver}},
	{sessionOfApp, atGateway, [everybody]string{"200", "200", noSession, noSession, "403 untrusted_origin", sessionOver}},
	{sessionOfApp, atIssuer, all(invalid, invalid)},
	{sessionOfApp, atAPI, all(nowhere, nowhere)},
	{codeKey, atIssuer, [everybody]string{"200", noGrant, badRequest, badRequest, noGrant, noGrant}},
	{codeKey, atGateway, all(invalid, invalid)},
	{codeKey, atAPI, all(nowhere, nowhere)},
	{codeCertificate, atIssuer, [everybody]string{"200", "200", noClient, noClient, noGrant, noGrant}},
	{codeCertificate, atGateway, all(invalid, invalid)},
	{codeCertificate, atAPI, all(nowhere, nowhere)},
	{refreshKey, atIssuer, [everybody]string{"200", noGrant, badRequest, badRequest, noGrant, noGrant}},
	{refreshKey, atGateway, all(invalid, invalid)},
	{refreshKey, atAPI, all(nowhere, nowhere)},
	{refreshCertificate, atIssuer, [everybody]string{"200", noGrant, noClient, noClient, noGrant, noGrant}},
	{refreshCertificate, atGateway, all(invalid, invalid)},
	{refreshCertificate, atAPI, all(nowhere, nowhere)},
}

// all is a row in which everybody but the right holder gets the same answer.
func all(holder, others string) (row [everybody]string) {
	for by := range row {
		row[by] = others
	}
	row[byHolder] = holder
	return row
}

// TestMatrix lets everybody use everything everywhere.
func TestMatrix(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		m := newStage(t, s)
		for _, row := range matrix {
			t.Run(row.credential+", "+row.place, func(t *testing.T) {
				if got := m.in(t).row(row.credential, row.place, row.want[afterwards]); got != row.want {
					t.Errorf("got %q\nwant %q", got, row.want)
				}
			})
		}
	})
}

const takesAtMost = time.Second // until a revocation is seen everywhere

// row is what the answers are. The thieves come first: what they do must not harm the right holder. What comes after the
// revocation may be something else at first, but not for long.
func (m *stage) row(credential, place, end string) (got [everybody]string) {
	m.t.Helper()
	h := credentials[credential](m)
	use := h.at[place]
	for by := byOtherKey; by < afterwards; by++ {
		got[by] = answerOf(use(by, h.value()))
	}
	value := h.value()
	got[byHolder] = answerOf(use(byHolder, value))
	if h.revoke != nil {
		h.revoke(value)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		took := time.Since(begin)
		if got[afterwards] = answerOf(use(afterwards, value)); got[afterwards] == end || took > takesAtMost {
			return got
		}
	}
}

// answerOf is an answer as the matrix shows it.
func answerOf(a answered) string {
	if a.Status == 0 {
		return nowhere
	}
	return strings.TrimSpace(fmt.Sprint(a.Status, " ", a.code()))
}

const matrixPage = "../docs/security/matrix.md"

const matrixHead = `# Who gets what, with which credential

Every cell is an answer of a running system, by ` + "`TestMatrix`" + `, on SQLite and PostgreSQL (this page is made by
` + "`go test ./holdfasttest -run TestMatrixPage -update`" + `). The thieves come first, the right holder after them: their
attempts spoil no token and no session. Codes, which work once, are new for each cell.

- **issuer**: userinfo for access tokens, the token endpoint for codes and refresh tokens. **API, directly** is the API behind
  the gateway, which takes connections with the gateway's certificate only. **API, as the gateway** is somebody who has even
  that one.
- **another key** is one of the thief's own, by which the request is signed; for certificates a second one of the same
  partner, issued by the same authority; for the cookie a copy of it in another browser.
- **no key** sends the credential and nothing else; the cookie is missing. **certificate in a header** adds what proxies write,
  with the partner's real certificate.
- **another application** is another client of the landscape with its own key or certificate, or with the holder's key if what
  it has stolen is a code or a refresh token; for the cookie it is a page of another application, to whose token handler the
  cookie is shown under that one's name.
- **after revocation** is the right holder, or who has stolen the key too, at most one second later. Codes are revoked by being
  used.

Three cells are not what one may wish: a copy of the session cookie works until the session ends, because ordinary browsers have
no key to bind it to; and a code is bound to the client, not to one certificate of it. A client with DPoP binds it by ` + "`dpop_jkt`" + `.

| credential | at | right holder | another key | no key | certificate in a header | another application | after revocation |
|---|---|---|---|---|---|---|---|
`

// TestMatrixPage keeps the page the same as the matrix that is tested.
func TestMatrixPage(t *testing.T) {
	var out bytes.Buffer
	out.WriteString(matrixHead)
	last := ""
	for _, row := range matrix {
		credential := row.credential
		if credential == last {
			credential = ""
		}
		last = row.credential
		fmt.Fprintf(&out, "| %s | %s | %s |\n", credential, row.place, strings.Join(row.want[:], " | "))
	}
	if *update {
		if err := os.WriteFile(matrixPage, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(matrixPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, out.Bytes()) {
		t.Errorf("%s is not what is tested: run go test ./holdfasttest -run TestMatrixPage -update", matrixPage)
	}
}
