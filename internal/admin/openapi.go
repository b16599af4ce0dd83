package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// described is the OpenAPI description without its server. Routes do not change while the process runs.
var described = sync.OnceValue(describe)

// description answers the OpenAPI 3.1 description. It says nothing that is not in the documentation, so it
// needs no token.
func (e *Endpoints) description(w http.ResponseWriter, _ *http.Request) error {
	d := described()
	d.Servers = []server{{e.AdminURL + base}}
	return web.WriteJSON(w, http.StatusOK, d)
}

type obj = map[string]any

type document struct {
	OpenAPI    string                       `json:"openapi"`
	Info       obj                          `json:"info"`
	Servers    []server                     `json:"servers"`
	Security   []map[string][]string        `json:"security"`
	Paths      map[string]map[string]detail `json:"paths"`
	Components obj                          `json:"components"`
}

type server struct {
	URL string `json:"url"`
}

type detail struct {
	ID          string      `json:"operationId"`
	Summary     string      `json:"summary"`
	Description string      `json:"description"`
	Tags        []string    `json:"tags"`
	Parameters  []obj       `json:"parameters,omitempty"`
	Body        obj         `json:"requestBody,omitempty"`
	Responses   map[int]obj `json:"responses"`
}

func describe() document {
	d := document{
		OpenAPI:  "3.1.0",
		Info:     obj{"title": "Holdfast administration API", "version": "1"},
		Security: []map[string][]string{{"dpop": {}}, {"mutualTLS": {}}},
		Paths:    map[string]map[string]detail{},
		Components: obj{
			"securitySchemes": obj{
				"dpop":      obj{"type": "http", "scheme": "dpop", "description": "A token of the issuer for this API, bound by DPoP (RFC 9449)."},
				"mutualTLS": obj{"type": "mutualTLS", "description": "A token of the issuer for this API, bound to the client certificate (RFC 8705)."},
			},
			"schemas": obj{"Problem": schemaOf(reflect.TypeFor[problem]())},
		},
	}
	for _, rt := range routes {
		if d.Paths[rt.path] == nil {
			d.Paths[rt.path] = map[string]detail{}
		}
		d.Paths[rt.path][strings.ToLower(rt.method)] = rt.describe()
	}
	return d
}

func (rt route) describe() detail {
	noun, scope := rt.kind, ""
	if noun == "" {
		noun = "object"
		scope = "Needs admin.<kind>s." + level(rt.verb) + " for each kind."
	} else {
		scope = "Needs the scope " + audit.ScopeFor(plural(noun)+"."+rt.verb) + "."
	}
	d := detail{
		ID: noun + "_" + rt.verb, Summary: rt.summary, Description: scope, Tags: []string{plural(noun)},
		Parameters: rt.parameters(), Responses: rt.responses(),
	}
	if rt.body != nil {
		d.Body = obj{"required": true, "content": content("application/json", schemaOf(reflect.TypeOf(rt.body)))}
	}
	return d
}

func level(verb string) string {
	return audit.ScopeFor("x." + verb)[len("admin.x."):]
}

func (rt route) parameters() (list []obj) {
	add := func(name, in string, required bool) {
		list = append(list, obj{"name": name, "in": in, "required": required, "schema": obj{"type": "string"}})
	}
	for _, part := range strings.Split(rt.path, "/") {
		if strings.HasPrefix(part, "{") {
			add(strings.Trim(part, "{}"), "path", true)
		}
	}
	for _, name := range rt.query {
		add(name, "query", false)
	}
	if rt.revision && rt.read == nil {
		add("If-Match", "header", false)
		add("If-None-Match", "header", false)
	}
	return list
}

func (rt route) responses() map[int]obj {
	out := map[int]obj{}
	switch {
	case rt.answer == nil:
		out[http.StatusNoContent] = obj{"description": "Done"}
	default:
		good := obj{"description": "Good", "content": content("application/json", schemaOf(reflect.TypeOf(rt.answer)))}
		if rt.revision {
			good["headers"] = obj{"ETag": obj{"schema": obj{"type": "string"}}}
		}
		out[http.StatusOK] = good
		if rt.act != nil && (rt.method == http.MethodPut || rt.verb == "add") {
			out[http.StatusCreated] = good
		}
	}
	failures := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	if rt.revision && rt.read == nil {
		failures = append(failures, http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired)
	}
	if rt.documents {
		failures = append(failures, http.StatusUnprocessableEntity)
	}
	for _, status := range failures {
		out[status] = obj{"description": http.StatusText(status), "content": content("application/problem+json", obj{"$ref": "#/components/schemas/Problem"})}
	}
	return out
}

func content(media string, schema obj) obj { return obj{media: obj{"schema": schema}} }

// schemaOf is the JSON schema of what encoding/json makes of a type.
func schemaOf(t reflect.Type) obj {
	switch t {
	case reflect.TypeFor[time.Time]():
		return obj{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return obj{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return obj{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return obj{"type": "integer"}
	case reflect.String:
		return obj{"type": "string"}
	case reflect.Slice:
		return obj{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return obj{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		return structSchema(t)
	default:
		return obj{"description": fmt.Sprint(t)}
	}
}

// structSchema takes the fields of embedded structs as its own, as encoding/json does.
func structSchema(t reflect.Type) obj {
	properties, required := obj{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		properties[name] = schemaOf(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	schema := obj{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}
