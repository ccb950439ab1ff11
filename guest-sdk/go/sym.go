// Package sym is for writing a plugin for the sym PostgreSQL host in Go.
//
// A plugin answers one or both of two questions: who is which database user
// (resolver.Export in src/resolver.go), and what a target means (target.Export
// in src/target.go). It gets data and answers data: it has no network, no files,
// no real clock and no database. Each call runs in a fresh instance, so nothing
// lives on.
//
// An error is never lost: a *Failure is the answer, any other error and every
// panic becomes a fault with its text and place, and what fmt.Println and log
// print goes to the plugin's log.
package sym

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Actor is a person, or a bot, as Sym names them.
type Actor struct {
	// Username is an email address for people, a bare name for bots: the only
	// field that is the same in every event of a run.
	Username string
	// Name is their display name, or empty.
	Name string
	// Identities is what Sym sent of their identity in another service. It
	// differs between the events of one run: good for display, not as a key.
	Identities map[string]string
}

// Target is what access is asked for.
type Target struct {
	// Name is the target's name in Sym's Terraform.
	Name string
	// Label is what the person saw in the menu, or empty.
	Label string
	// Settings are the target's. Values that are not strings arrive as JSON.
	Settings map[string]string
}

// Request is one request for access: approved, or about to be shown to its
// approvers.
type Request struct {
	// RunID identifies the request. From Sym a UUID in lower case; from a person who
	// gives access without Sym up to 64 lower case letters, digits, - and _.
	RunID string
	// Strategy is RoleStrategy or TemporaryUserStrategy. More may come: refuse
	// what you don't know.
	Strategy  string
	Requester Actor
	// Approver is who approved, or nil.
	Approver *Actor
	Target   Target
	Flow     string
	// Reason is why, in the requester's words, or empty.
	Reason string
	// DurationSeconds is nil where the flow has no duration.
	DurationSeconds *uint32
	// EventTime is when Sym sent the event: RFC 3339, in UTC.
	EventTime string
	// Context has org, run-srn, schema-version and channel; more may come.
	Context map[string]string
	// EventJSON is the whole event.
	EventJSON string
}

// The strategies that this SDK knows.
const (
	RoleStrategy          = "role"
	TemporaryUserStrategy = "temporary-user"
)

// Event reads the whole event into a value of your own.
func (r *Request) Event(into any) error {
	return json.Unmarshal([]byte(r.EventJSON), into)
}

// Step is one thing that a target asks the host to do: GrantRole or Sql.
type Step interface{ step() }

// GrantRole makes the user a member of this role. For the strategy role, it is
// the one step.
type GrantRole string

// Sql runs one statement, for a temporary user.
//
// {username} is always there. Never write a value into SQL yourself: give it a
// placeholder, and the host quotes it.
//
//	sym.Sql{"GRANT SELECT ON TABLE {table} TO {username}", []sym.Arg{{"table", sym.Identifier("orders")}}}
type Sql struct {
	SQL  string
	Args []Arg
}

// Arg is the value of a placeholder.
type Arg struct {
	Name  string
	Value Value
}

// Value is quoted by its kind: Identifier or Literal.
type Value interface{ value() }

// Identifier is the name of a role, a schema, a table: at most 63 bytes.
type Identifier string

// Literal is a string constant.
type Literal string

func (GrantRole) step()   {}
func (Sql) step()         {}
func (Identifier) value() {}
func (Literal) value()    {}

// Failure is why a plugin doesn't answer. Return it as the error.
type Failure struct {
	// Code is in lower case with hyphens.
	Code string
	// Message is one sentence: what, and what to do.
	Message string
}

func (f *Failure) Error() string { return f.Message }

// Failed is a fault, which goes to the operator.
func Failed(code, format string, values ...any) error {
	return &Failure{code, fmt.Sprintf(format, values...)}
}

// Denied is a decision against the request: the requester reads the text.
func Denied(format string, values ...any) error {
	return Failed("denied", format, values...)
}

// Email is an address that a decision may stand on.
type Email struct {
	LocalPart string
	Domain    string
}

// ParseEmail splits an address. It is false for a bot's name, and for anything
// that could be read in two ways: with a second @, a blank or a control
// character.
func ParseEmail(text string) (Email, bool) {
	local, domain, found := strings.Cut(text, "@")
	unclear := func(r rune) bool { return r == '@' || unicode.IsSpace(r) || unicode.IsControl(r) }
	if !found || local == "" || domain == "" ||
		strings.ContainsFunc(local, unclear) || strings.ContainsFunc(domain, unclear) {
		return Email{}, false
	}
	return Email{local, domain}, true
}

// IsIn is whether the address is in this very domain. A subdomain is another
// domain.
func (e Email) IsIn(domain string) bool { return lower(e.Domain) == lower(domain) }

// Only ASCII letters: beyond them, letters that look alike become the same one.
func lower(text string) string {
	bytes := []byte(text)
	for i, b := range bytes {
		if 'A' <= b && b <= 'Z' {
			bytes[i] = b + 'a' - 'A'
		}
	}
	return string(bytes)
}

// RequireConfig is the value of a key that has to be there.
func RequireConfig(key string) (string, error) {
	value, ok := Config(key)
	if !ok {
		return "", Failed("invalid-config", "config `%s` is missing, set it in `plugins.toml`", key)
	}
	return value, nil
}

// ConfigList is an array of strings, or one string with commas. It is nil where
// the operator set none.
func ConfigList(key string) ([]string, error) {
	value, ok := Config(key)
	if !ok {
		return nil, nil
	}
	value = strings.TrimSpace(value)
	items := []string{}
	if !strings.HasPrefix(value, "[") && !strings.HasPrefix(value, "{") {
		for _, item := range strings.Split(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, nil
	}
	if err := json.Unmarshal([]byte(value), &items); err != nil {
		return nil, Failed("invalid-config", "config `%s` has to be a list of strings", key)
	}
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items, nil
}

// RequireConfigList is the same of a list that has to be there, and to have
// something in it.
func RequireConfigList(key string) ([]string, error) {
	items, err := ConfigList(key)
	if err == nil && len(items) == 0 {
		err = Failed("invalid-config",
			"config `%s` is missing or empty, list at least one value in `plugins.toml`", key)
	}
	return items, err
}

// Lines in the host's log, with the plugin's name, its version and the run.

// Debug writes a line for whoever debugs the plugin.
func Debug(format string, values ...any) { write(0, fmt.Sprintf(format, values...)) }

// Info writes what is worth knowing.
func Info(format string, values ...any) { write(1, fmt.Sprintf(format, values...)) }

// Warn writes what somebody should look at.
func Warn(format string, values ...any) { write(2, fmt.Sprintf(format, values...)) }

// Error writes that something failed.
func Error(format string, values ...any) { write(3, fmt.Sprintf(format, values...)) }
