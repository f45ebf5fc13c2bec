// Package keyferryverify believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). net/http; Go 1.19 or newer.
//
// By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
// parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.
//
//	verifier := keyferryverify.New(map[string][]byte{"orders-2026-11": bytes.TrimSuffix(file, []byte("\n"))})
//	http.ListenAndServe("127.0.0.1:8080", verifier.Middleware(application))
//
// What it refuses gets 401, and the application is not called. X-Key-Id and X-Client-Id can be believed behind it.
package keyferryverify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const skew, lifetime = 5, 60

var covered = []string{"x-key-id", "x-client-id", "x-key-scopes", "content-digest"}
var ours = map[string]bool{"signature-input": true, "signature": true}
var optional = map[string]bool{"x-key-scopes": true, "content-digest": true}

var form = regexp.MustCompile(`^gw=(\(([^()]*)\);created=(0|[1-9][0-9]{0,14});expires=(0|[1-9][0-9]{0,14})` +
	`;nonce="([ !#-\[\]-~]+)";alg="hmac-sha256";keyid="([ !#-\[\]-~]*)";tag="keyferry")$`)
var notPlain = regexp.MustCompile(`[^ -~]`)
var notInName = regexp.MustCompile(`[^a-z0-9]`)
var defaultPort = regexp.MustCompile(`:(443|80)$`)
var digests = regexp.MustCompile(`(?:^|, *)(sha-256|sha-512)=:([A-Za-z0-9+/=]*):`)

func init() {
	for _, name := range covered {
		ours[name] = true
	}
}

// Refused says why a request is not believed: a reason of docs/VERIFY.md.
type Refused string

func (r Refused) Error() string { return string(r) }

// Verifier believes Secrets by their key ids; two while one takes the place of the other. Each signature is good once:
// Remember of the last minute are kept, for this process alone, and more are refused; 0 keeps none.
type Verifier struct {
	Secrets  map[string][]byte
	Remember int
	Clock    func() time.Time
	mutex    sync.Mutex
	seen     map[string]int64
	swept    int64
}

// New makes a Verifier that remembers 100,000 signatures.
func New(secrets map[string][]byte) *Verifier {
	return &Verifier{Secrets: secrets, Remember: 100_000, Clock: time.Now, seen: map[string]int64{}}
}

// Check is nil for a request that is believed, and otherwise says why not.
func (v *Verifier) Check(r *http.Request) error {
	claims := false
	for header := range r.Header {
		name := strings.ToLower(header)
		if !ours[name] && ours[notInName.ReplaceAllString(name, "-")] {
			return Refused("header_disguised")
		}
		claims = claims || ours[name] && name != "content-digest"
	}
	if !claims {
		return Refused("signature_missing")
	}
	for name := range ours {
		if found := len(r.Header.Values(name)); found > 1 || found == 0 && !optional[name] {
			return Refused("signature_header")
		}
	}
	if !strings.HasPrefix(r.RequestURI, "/") || r.Host == "" {
		return Refused("request_malformed")
	}

	path, query, _ := strings.Cut(r.RequestURI, "?")
	authority := defaultPort.ReplaceAllString(strings.ToLower(r.Host), "")
	lines := [][2]string{{"@method", r.Method}, {"@authority", authority}, {"@path", path}, {"@query", "?" + query}}
	for _, name := range covered {
		for _, value := range r.Header.Values(name) {
			lines = append(lines, [2]string{name, value})
		}
	}
	var base, components strings.Builder
	isPlain := true
	for _, line := range lines {
		fmt.Fprintf(&base, "\"%s\": %s\n", line[0], line[1])
		fmt.Fprintf(&components, " \"%s\"", line[0])
		isPlain = isPlain && !notPlain.MatchString(line[1])
	}
	found := form.FindStringSubmatch(r.Header.Get("Signature-Input"))
	if found == nil || " "+found[2] != components.String() || !isPlain {
		return Refused("signature_malformed")
	}
	secret, isKnown := v.Secrets[found[6]]
	if !isKnown {
		return Refused("signature_key_unknown")
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s\"@signature-params\": %s", base.String(), found[1])
	expected := "gw=:" + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + ":"
	if !hmac.Equal([]byte(expected), []byte(r.Header.Get("Signature"))) {
		return Refused("signature_mismatch")
	}

	created, _ := strconv.ParseInt(found[3], 10, 64)
	expires, _ := strconv.ParseInt(found[4], 10, 64)
	now := v.Clock().Unix()
	if expires < created || expires-created > lifetime || created-skew > now || now > expires+skew {
		return Refused("signature_not_current")
	}
	if v.Remember > 0 {
		return v.once(found[5], expires+skew, now)
	}
	return nil
}

func (v *Verifier) once(nonce string, until, now int64) error {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if now > v.swept {
		for old, end := range v.seen {
			if end < now {
				delete(v.seen, old)
			}
		}
		v.swept = now
	}
	if _, isSeen := v.seen[nonce]; isSeen {
		return Refused("signature_replayed")
	}
	if len(v.seen) >= v.Remember {
		return Refused("too_many_signatures")
	}
	v.seen[nonce] = until
	return nil
}

// Middleware lets only what is believed reach the application.
func (v *Verifier) Middleware(application http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := v.Check(r); err != nil {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("WWW-Authenticate", `Signature realm="keyferry"`)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"title":"Unauthorized","status":401,"reason":"%s"}`, err)
			return
		}
		application.ServeHTTP(w, r)
	})
}

// BodyFits tells whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body.
func BodyFits(digest string, body []byte) bool {
	sha256Of, sha512Of := sha256.Sum256(body), sha512.Sum512(body)
	made := map[string][]byte{"sha-256": sha256Of[:], "sha-512": sha512Of[:]}
	found := digests.FindAllStringSubmatch(digest, -1)
	for _, one := range found {
		if base64.StdEncoding.EncodeToString(made[one[1]]) != one[2] {
			return false
		}
	}
	return len(found) > 0
}
