//go:build !wasip1

package sym

// Settings stand in for the host's in `go test` on your own machine.
var Settings = map[string]string{}

// Config is the value of a key of the plugin's config table in plugins.toml. A
// value that is no string there arrives as JSON.
func Config(key string) (string, bool) {
	value, ok := Settings[key]
	return value, ok
}

// ConfigAll is all of them.
func ConfigAll() map[string]string { return Settings }

func write(uint32, string) {}
