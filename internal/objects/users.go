package objects

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// KindUser marks documents about people. They become accounts, not objects.
const KindUser = "user"

// Address is the claim address (OIDC Core §5.1.1).
type Address struct {
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty"`
	Country       string `json:"country,omitempty"`
}

// Claims are what is kept about a person: the standard claims of OIDC Core §5.1 with their JSON types, less
// sub and updated_at, which the account itself knows.
type Claims struct {
	Name                string   `json:"name,omitempty"`
	GivenName           string   `json:"given_name,omitempty"`
	FamilyName          string   `json:"family_name,omitempty"`
	MiddleName          string   `json:"middle_name,omitempty"`
	Nickname            string   `json:"nickname,omitempty"`
	PreferredUsername   string   `json:"preferred_username,omitempty"`
	Profile             string   `json:"profile,omitempty"`
	Picture             string   `json:"picture,omitempty"`
	Website             string   `json:"website,omitempty"`
	Email               string   `json:"email,omitempty"`
	EmailVerified       *bool    `json:"email_verified,omitempty"`
	Gender              string   `json:"gender,omitempty"`
	Birthdate           string   `json:"birthdate,omitempty"`
	Zoneinfo            string   `json:"zoneinfo,omitempty"`
	Locale              string   `json:"locale,omitempty"`
	PhoneNumber         string   `json:"phone_number,omitempty"`
	PhoneNumberVerified *bool    `json:"phone_number_verified,omitempty"`
	Address             *Address `json:"address,omitempty"`
	// Attributes are what else is known of the person. They leave the server through claim mappings alone.
	Attributes map[string]json.RawMessage `json:"attributes,omitempty"`
}

// User is a person as somebody writes it.
type User struct {
	Claims
	Username     string      `json:"username"`
	Password     keys.Secret `json:"password,omitempty"`      // in clear, in a document only
	PasswordHash string      `json:"password_hash,omitempty"` // PHC string format
	Disabled     bool        `json:"disabled,omitempty"`
}

// minPassword is the shortest password that is taken, in bytes (NIST SP 800-63B §3.1.1.2 asks for 8 characters
// where it is not alone).
const (
	minPassword = 8
	maxPassword = 1024
	maxUsername = 320 // an e-mail address
)

// phc is a hash in the PHC string format, or one of bcrypt, of a kind that can be verified.
var phc = regexp.MustCompile(`^\$(argon2(id|i|d)|2[aby]|pbkdf2(-sha(1|224|256|384|512))?|scrypt)\$[A-Za-z0-9+/=.,$-]{1,400}$`)

// ParseUser reads a document about a person and finds every problem in it.
func ParseUser(d Document) (*User, Problems) {
	p := &preparation{doc: d}
	u := new(User)
	p.decode(d.Body, u)
	u.Username = p.named("username", u.Username)
	p.name = u.Username
	if strings.TrimSpace(u.Username) != u.Username || strings.ContainsFunc(u.Username, isControl) || len(u.Username) > maxUsername {
		p.report("username", "has blanks around it or control characters, or is longer than 320 bytes", "use a name or an e-mail address")
	}
	switch n := len(u.Password); {
	case n > 0 && u.PasswordHash != "":
		p.report("password", "is given together with password_hash", "keep one")
	case n > 0 && n < minPassword:
		p.report("password", "is shorter than 8 bytes", "choose a longer one")
	case n > maxPassword:
		p.report("password", "is longer than 1,024 bytes", "choose a shorter one")
	}
	if u.PasswordHash != "" && !phc.MatchString(u.PasswordHash) {
		p.report("password_hash", "is not a PHC string of argon2, bcrypt, pbkdf2 or scrypt", "write for example $argon2id$v=19$m=…")
	}
	p.checkClaims(&u.Claims)
	p.seal()
	return u, p.problems
}

func (p *preparation) checkClaims(c *Claims) {
	if c.Email != "" && (!strings.Contains(c.Email, "@") || strings.ContainsFunc(c.Email, isBlank)) {
		p.report("email", "is not an e-mail address", "write name@example.com")
	}
	if c.EmailVerified != nil && c.Email == "" {
		p.report("email_verified", "is said of no address", "give email")
	}
	if c.PhoneNumberVerified != nil && c.PhoneNumber == "" {
		p.report("phone_number_verified", "is said of no number", "give phone_number")
	}
	if c.Birthdate != "" && !birthdate.MatchString(c.Birthdate) {
		p.report("birthdate", "is not a date", "write YYYY-MM-DD, 0000-MM-DD or YYYY (OIDC Core §5.1)")
	}
	p.checkAttributes(c.Attributes)
	p.checkWeb("profile", c.Profile)
	p.checkWeb("picture", c.Picture)
	p.checkWeb("website", c.Website)
	if body, err := json.Marshal(c); err != nil || len(body) > 16<<10 {
		p.report("", "has claims of more than 16 KiB", "shorten them")
	}
}

const maxAttributes = 100

// attributeName is what attributes may be called.
var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]{0,63}$`)

func (p *preparation) checkAttributes(attributes map[string]json.RawMessage) {
	if len(attributes) > maxAttributes {
		p.report("attributes", "has more than 100 members", "keep what mappings need")
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		switch {
		case name == AttributeUsername:
			p.report("attributes", "has username, which everybody has", "remove it")
		case !attributeName.MatchString(name):
			p.report("attributes", "has a member that is not the name of an attribute", "use letters, digits and _.:- after a letter, at most 64")
		case !isPlain(attributes[name]):
			p.report("attributes."+name, "is not a plain value", "write a text, a number, true, false or a list of texts")
		}
	}
}

var birthdate = regexp.MustCompile(`^\d{4}(-\d{2}-\d{2})?$`)

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isBlank(r rune) bool { return r <= ' ' || r == 0x7f }

// ImportUsers brings people into the tenant of db. It is idempotent and leaves people of other owners alone.
// A password is set where the account has none: who has chosen another one keeps it. hash makes a PHC string
// of a password; it is slow, so nothing is hashed within a transaction or for nothing. Documents with problems
// are all refused together: the error is Problems.
func ImportUsers(ctx context.Context, db *store.DB, hash func(password string) (string, error), managedBy string, docs []Document) (Report, error) {
	users, notices, err := parseUsers(docs)
	if err != nil {
		return Report{Notices: notices}, err
	}
	if err := hashPasswords(ctx, db, hash, users); err != nil {
		return Report{}, err
	}
	var r Report
	err = db.Write(ctx, func(tx *store.Tx) error {
		r = Report{Notices: notices}
		for _, u := range users {
			if err := r.applyUser(tx, managedBy, u); err != nil {
				return fmt.Errorf("import user: %w", err)
			}
		}
		return nil
	})
	return r, err
}

func parseUsers(docs []Document) (users []*User, notices Problems, err error) {
	var refused Problems
	seen := map[string]bool{}
	for _, d := range docs {
		u, problems := ParseUser(d)
		name := strings.ToLower(u.Username)
		if seen[name] {
			problems = append(problems, Problem{Source: d.Source, Object: KindUser + "/" + u.Username, What: "is given twice", Remedy: "keep one document for each person"})
		}
		seen[name] = true
		bad, more := problems.split()
		refused, notices = append(refused, bad...), append(notices, more...)
		users = append(users, u)
	}
	if len(refused) > 0 {
		return nil, notices, refused
	}
	return users, notices, nil
}

// hashPasswords hashes the passwords of those who have none in the store yet.
func hashPasswords(ctx context.Context, db *store.DB, hash func(string) (string, error), users []*User) error {
	have := make([]bool, len(users))
	err := db.Read(ctx, func(tx *store.Tx) error {
		for i, u := range users {
			a, err := tx.AccountByName(u.Username)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			have[i] = a.PasswordHash != ""
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load accounts: %w", err)
	}
	for i, u := range users {
		if u.Password == "" || have[i] {
			continue
		}
		if u.PasswordHash, err = hash(u.Password.Reveal()); err != nil {
			return fmt.Errorf("hash password: %w", err)
		}
	}
	return nil
}

func (r *Report) applyUser(tx *store.Tx, managedBy string, u *User) error {
	key := KindUser + "/" + u.Username
	claims, err := json.Marshal(u.Claims)
	if err != nil {
		return err
	}
	old, err := tx.AccountByName(u.Username)
	if errors.Is(err, store.ErrNotFound) {
		r.Created = append(r.Created, key)
		return tx.AddAccount(u.account(tx, managedBy, claims))
	}
	if err != nil {
		return err
	}
	if old.ManagedBy != managedBy {
		r.Skipped = append(r.Skipped, key+" (managed by "+old.ManagedBy+")")
		return nil
	}
	changed := u.change(old, claims)
	if old.PasswordHash == "" && u.PasswordHash != "" {
		changed.PasswordHash, changed.PasswordChangedAt = u.PasswordHash, tx.Now
	}
	if changed.Username == old.Username && bytes.Equal(claims, old.Claims) && u.Disabled == old.Disabled && changed.PasswordHash == old.PasswordHash {
		r.Unchanged = append(r.Unchanged, key)
		return nil
	}
	r.Updated = append(r.Updated, key)
	return tx.PutAccount(changed)
}

// change is an account with what the document says; its password is another matter.
func (u *User) change(a store.Account, claims json.RawMessage) store.Account {
	a.Username, a.Claims, a.Disabled = u.Username, claims, u.Disabled
	return a
}

// AddUser adds a person whose password, if any, is hashed. Error: store.ErrTaken.
func AddUser(tx *store.Tx, managedBy string, u *User) (store.Account, error) {
	claims, err := json.Marshal(u.Claims)
	if err != nil {
		return store.Account{}, err
	}
	a := u.account(tx, managedBy, claims)
	a.Version = 1
	return a, tx.AddAccount(a)
}

// SetUser changes a person, except for the password, if the account still has its version. Errors:
// store.ErrTaken, store.ErrConflict.
func SetUser(tx *store.Tx, a store.Account, u *User) (store.Account, error) {
	claims, err := json.Marshal(u.Claims)
	if err != nil {
		return store.Account{}, err
	}
	a = u.change(a, claims)
	if err := tx.PutAccount(a); err != nil {
		return store.Account{}, err
	}
	a.Version++
	a.UpdatedAt = tx.Now
	return a, nil
}

// account makes the row of a new person.
func (u *User) account(tx *store.Tx, managedBy string, claims json.RawMessage) store.Account {
	a := store.Account{
		ID: store.NewID(), Username: u.Username, UserHandle: newHandle(), Disabled: u.Disabled, Claims: claims,
		PasswordHash: u.PasswordHash, ManagedBy: managedBy, CreatedAt: tx.Now, UpdatedAt: tx.Now,
	}
	if a.PasswordHash != "" {
		a.PasswordChangedAt = tx.Now
	}
	return a
}

// newHandle is a WebAuthn user handle: 64 random bytes (WebAuthn L3 §14.6.1).
func newHandle() []byte {
	b := make([]byte, 64)
	rand.Read(b) // never fails
	return b
}
