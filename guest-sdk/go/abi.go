//go:build wasip1

// What the host passes and takes: package sym:postgres@0.1.0 of wit/, as the
// component model's canonical ABI lays it out in 32-bit memory.

package sym

import (
	"errors"
	"fmt"
	"log"
	"runtime"
	"strings"
	"unsafe"
)

//go:wasmimport sym:postgres/log@0.1.0 write
func hostLog(level uint32, text unsafe.Pointer, bytes uint32)

//go:wasmimport sym:postgres/config@0.1.0 get
func hostConfigGet(key unsafe.Pointer, bytes uint32, value unsafe.Pointer)

//go:wasmimport sym:postgres/config@0.1.0 get-all
func hostConfigAll(pairs unsafe.Pointer)

// What the host knows by address alone: it must not be collected. An instance
// lives for one call, so nothing is ever given back.
var kept [][]uint64

// How the host gives us texts. The words of 64 bits are for their alignment.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldBytes, alignment, bytes uint32) unsafe.Pointer {
	memory := allocate(bytes)
	if oldBytes > 0 {
		copy(unsafe.Slice((*byte)(memory), bytes), unsafe.Slice((*byte)(old), oldBytes))
	}
	return memory
}

func allocate(bytes uint32) unsafe.Pointer {
	words := make([]uint64, bytes/8+1)
	kept = append(kept, words)
	return unsafe.Pointer(&words[0])
}

func init() {
	// The time would be 1970's.
	log.SetFlags(0)
}

func write(level uint32, text string) {
	hostLog(level, unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

type abiText struct{ at, count uint32 }

type abiOptional struct {
	isSome uint32
	text   abiText
}

type abiList struct{ at, count uint32 }

type abiPair struct{ key, value abiText }

type abiActor struct {
	username   abiText
	name       abiOptional
	identities abiList
}

type abiRequest struct {
	runID, strategy abiText
	requester       abiActor
	hasApprover     uint32
	approver        abiActor
	targetName      abiText
	targetLabel     abiOptional
	targetSettings  abiList
	flow            abiText
	reason          abiOptional
	hasDuration     uint32
	durationSeconds uint32
	eventTime       abiText
	context         abiList
	eventJSON       abiText
}

// Both parameters: too many fields for the ABI to pass them one by one.
type abiSetup struct {
	request  abiRequest
	username abiText
}

type abiArgument struct {
	name  abiText
	kind  uint32
	value abiText
}

type abiStep struct {
	kind      uint32
	text      abiText
	arguments abiList
}

// abiAnswer is 0 and a text or a list, or 1 and two texts.
type abiAnswer struct {
	kind          uint32
	first, second abiText
}

func pointer(at uint32) unsafe.Pointer {
	//nolint:govet // The host speaks of addresses as numbers.
	return unsafe.Pointer(uintptr(at))
}

// One byte says which case it is; the three behind it are anything.
func isSet(flag uint32) bool { return flag&0xff != 0 }

func (t abiText) read() string {
	if t.count == 0 {
		return ""
	}
	return strings.Clone(unsafe.String((*byte)(pointer(t.at)), int(t.count)))
}

func (o abiOptional) read() string {
	if !isSet(o.isSome) {
		return ""
	}
	return o.text.read()
}

func (l abiList) pairs() map[string]string {
	pairs := make(map[string]string, l.count)
	if l.count > 0 {
		for _, pair := range unsafe.Slice((*abiPair)(pointer(l.at)), l.count) {
			pairs[pair.key.read()] = pair.value.read()
		}
	}
	return pairs
}

func (a *abiActor) read() Actor {
	return Actor{a.username.read(), a.name.read(), a.identities.pairs()}
}

func readRequest(raw *abiRequest) *Request {
	request := &Request{
		RunID:     raw.runID.read(),
		Strategy:  raw.strategy.read(),
		Requester: raw.requester.read(),
		Target:    Target{raw.targetName.read(), raw.targetLabel.read(), raw.targetSettings.pairs()},
		Flow:      raw.flow.read(),
		Reason:    raw.reason.read(),
		EventTime: raw.eventTime.read(),
		Context:   raw.context.pairs(),
		EventJSON: raw.eventJSON.read(),
	}
	if isSet(raw.hasApprover) {
		approver := raw.approver.read()
		request.Approver = &approver
	}
	if isSet(raw.hasDuration) {
		seconds := raw.durationSeconds
		request.DurationSeconds = &seconds
	}
	return request
}

// Config is the value of a key of the plugin's config table in plugins.toml. A
// value that is no string there arrives as JSON.
func Config(key string) (string, bool) {
	value := new(abiOptional)
	hostConfigGet(unsafe.Pointer(unsafe.StringData(key)), uint32(len(key)), unsafe.Pointer(value))
	return value.read(), isSet(value.isSome)
}

// ConfigAll is all of them.
func ConfigAll() map[string]string {
	list := new(abiList)
	hostConfigAll(unsafe.Pointer(list))
	return list.pairs()
}

// No UTF-8 would end the plugin; the letter for what is unknown says as much.
func writeText(text string) abiText {
	text = strings.ToValidUTF8(text, "\ufffd")
	memory := allocate(uint32(len(text)))
	copy(unsafe.Slice((*byte)(memory), len(text)+1), text)
	return abiText{uint32(uintptr(memory)), uint32(len(text))}
}

func writeSteps(steps []Step) (abiList, error) {
	memory := allocate(uint32(len(steps) * int(unsafe.Sizeof(abiStep{}))))
	list := unsafe.Slice((*abiStep)(memory), len(steps))
	for i, step := range steps {
		switch step := step.(type) {
		case GrantRole:
			list[i] = abiStep{kind: 0, text: writeText(string(step))}
		case Sql:
			arguments, err := writeArguments(step.Args, i+1)
			if err != nil {
				return abiList{}, err
			}
			list[i] = abiStep{1, writeText(step.SQL), arguments}
		default:
			return abiList{}, Failed("failed", "step %d is nil, expected a GrantRole or an Sql", i+1)
		}
	}
	return abiList{uint32(uintptr(memory)), uint32(len(steps))}, nil
}

func writeArguments(args []Arg, step int) (abiList, error) {
	memory := allocate(uint32(len(args) * int(unsafe.Sizeof(abiArgument{}))))
	list := unsafe.Slice((*abiArgument)(memory), len(args))
	for i, arg := range args {
		switch value := arg.Value.(type) {
		case Identifier:
			list[i] = abiArgument{writeText(arg.Name), 0, writeText(string(value))}
		case Literal:
			list[i] = abiArgument{writeText(arg.Name), 1, writeText(string(value))}
		default:
			return abiList{}, Failed("failed", "the value `%s` of step %d is nil", arg.Name, step)
		}
	}
	return abiList{uint32(uintptr(memory)), uint32(len(args))}, nil
}

func writeFailure(err error) *abiAnswer {
	failure := &Failure{"failed", err.Error()}
	errors.As(err, &failure)
	return &abiAnswer{1, writeText(failure.Code), writeText(failure.Message)}
}

// guard answers an error and a panic with a failure.
func guard(body func() (abiList, error)) (answer unsafe.Pointer) {
	defer func() {
		if reason := recover(); reason != nil {
			place := panicPlace()
			Error("panic: %v at %s", reason, place)
			answer = unsafe.Pointer(writeFailure(Failed("failed", "panic: %v (%s)", reason, place)))
		}
	}()
	list, err := body()
	if err != nil {
		return unsafe.Pointer(writeFailure(err))
	}
	return unsafe.Pointer(&abiAnswer{0, abiText(list), abiText{}})
}

// panicPlace is the plugin's own innermost function.
func panicPlace() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "runtime.") {
			_, file, _ := strings.Cut(frame.File, "/")
			return fmt.Sprintf("%s:%d", file, frame.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// CallResolver is what the package resolver exports. It is no part of what a
// plugin uses.
func CallResolver(raw unsafe.Pointer, resolve func(*Request) (string, error)) unsafe.Pointer {
	return guard(func() (abiList, error) {
		if resolve == nil {
			return abiList{}, Failed("failed", "the plugin didn't call resolver.Export")
		}
		user, err := resolve(readRequest((*abiRequest)(raw)))
		if err != nil {
			return abiList{}, err
		}
		return abiList(writeText(user)), nil
	})
}

// CallTarget is what the package target exports. It is no part of what a plugin
// uses.
func CallTarget(raw unsafe.Pointer, setup func(*Request, string) ([]Step, error)) unsafe.Pointer {
	return guard(func() (abiList, error) {
		if setup == nil {
			return abiList{}, Failed("failed", "the plugin didn't call target.Export")
		}
		parameters := (*abiSetup)(raw)
		steps, err := setup(readRequest(&parameters.request), parameters.username.read())
		if err != nil {
			return abiList{}, err
		}
		return writeSteps(steps)
	})
}
