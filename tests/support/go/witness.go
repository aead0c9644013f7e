// The other sides of C2SP's tlog-witness, on Go's own checksum database, where its formats come from.
//
//	witness  vouches for one log, whose key is the argument; says its address and key
//	log      keeps a log of its own, and asks a witness, whose address and key it reads
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosigner is a key of a witness: a signature over the checkpoint and a time.
type cosigner struct {
	name    string
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func (c *cosigner) Name() string { return c.name }

func (c *cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.name+"\n\x04"), c.public...))
	return binary.BigEndian.Uint32(sum[:])
}

func signed(stamp uint64, text []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", stamp)), text...)
}

func (c *cosigner) Sign(text []byte) ([]byte, error) {
	now := uint64(time.Now().Unix())
	stamp := binary.BigEndian.AppendUint64(nil, now)
	return append(stamp, ed25519.Sign(c.private, signed(now, text))...), nil
}

func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	stamp := binary.BigEndian.Uint64(signature)
	age := time.Since(time.Unix(int64(stamp), 0))
	return -time.Minute < age && age < time.Hour && ed25519.Verify(c.public, signed(stamp, text), signature[8:])
}

func (c *cosigner) key() string {
	data := base64.StdEncoding.EncodeToString(append([]byte{4}, c.public...))
	return fmt.Sprintf("%s+%08x+%s", c.name, c.KeyHash(), data)
}

func parsed(key string) *cosigner {
	parts := strings.SplitN(key, "+", 3)
	data, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	found := &cosigner{name: parts[0], public: data[1:]}
	if data[0] != 4 || fmt.Sprintf("%08x", found.KeyHash()) != parts[1] {
		fail("the witness's key is none")
	}
	return found
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}

// checkpoint reads size and root of a checkpoint's text.
func checkpoint(text string) (int64, tlog.Hash) {
	var size int64
	lines := strings.Split(text, "\n")
	_, err := fmt.Sscanf(lines[1], "%d", &size)
	check(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	return size, tlog.Hash(*(*[32]byte)(root))
}

func witness(logKey string) {
	log, err := note.NewVerifier(logKey)
	check(err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	self := &cosigner{"witness.example/go", public, private}
	size, root := int64(0), tlog.Hash{}
	answer := func(body []byte) (int, string) {
		head, rest, _ := strings.Cut(string(body), "\n\n")
		lines := strings.Split(head, "\n")
		var old int64
		if _, err := fmt.Sscanf(lines[0], "old %d", &old); err != nil {
			return 400, ""
		}
		opened, err := note.Open([]byte(rest), note.VerifierList(log))
		if err != nil {
			return 403, ""
		}
		next, hash := checkpoint(opened.Text)
		if old != size {
			return 409, fmt.Sprintf("%d\n", size)
		}
		var proof tlog.TreeProof
		for _, line := range lines[1:] {
			step, err := base64.StdEncoding.DecodeString(line)
			if err != nil || len(step) != 32 {
				return 400, ""
			}
			proof = append(proof, tlog.Hash(*(*[32]byte)(step)))
		}
		if old > 0 && tlog.CheckTree(proof, next, hash, old, root) != nil {
			return 422, ""
		}
		size, root = next, hash
		cosigned, err := note.Sign(&note.Note{Text: opened.Text}, self)
		check(err)
		_, line, _ := strings.Cut(string(cosigned), "\n\n")
		return 200, line
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	said, _ := json.Marshal(map[string]string{"url": "http://" + listener.Addr().String(), "key": self.key()})
	fmt.Println(string(said))
	check(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status, text := answer(body)
		w.WriteHeader(status)
		io.WriteString(w, text)
	})))
}

// stored is a log in memory.
type stored []tlog.Hash

func (s *stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		found[at] = (*s)[index]
	}
	return found, nil
}

func (s *stored) add(n int64, entry string) {
	hashes, err := tlog.StoredHashes(n, []byte(entry), s)
	check(err)
	*s = append(*s, hashes...)
}

func log() {
	private, public, err := note.GenerateKey(rand.Reader, "log.example/go")
	check(err)
	signer, err := note.NewSigner(private)
	check(err)
	said, _ := json.Marshal(map[string]string{"key": public})
	fmt.Println(string(said))
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	var told map[string]string
	check(json.Unmarshal([]byte(line), &told))
	other := parsed(told["key"])
	var tree, fork stored
	post := func(s *stored, old, size int64) (int, string, string) {
		root, err := tlog.TreeHash(size, s)
		check(err)
		text := fmt.Sprintf("log.example/go\n%d\n%s\n", size, base64.StdEncoding.EncodeToString(root[:]))
		made, err := note.Sign(&note.Note{Text: text}, signer)
		check(err)
		body := bytes.NewBufferString(fmt.Sprintf("old %d\n", old))
		if old > 0 {
			proof, err := tlog.ProveTree(size, old, s)
			check(err)
			for _, step := range proof {
				body.WriteString(base64.StdEncoding.EncodeToString(step[:]) + "\n")
			}
		}
		body.WriteString("\n")
		body.Write(made)
		response, err := http.Post(told["url"]+"/add-checkpoint", "", body)
		check(err)
		content, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(content), string(made)
	}
	size := int64(0)
	for _, next := range []int64{1, 2, 7, 256, 300} {
		for n := size; n < next; n++ {
			tree.add(n, fmt.Sprintf("entry %d", n))
		}
		status, content, made := post(&tree, size, next)
		if status != 200 {
			fail(fmt.Sprintf("%d from %d: %d %s", next, size, status, content))
		}
		if _, err := note.Open([]byte(made+content), note.VerifierList(other)); err != nil {
			fail("the cosignature does not hold: " + err.Error())
		}
		size = next
	}
	if status, content, _ := post(&tree, 7, 300); status != 409 || content != "300\n" {
		fail(fmt.Sprintf("another old size: %d %q", status, content))
	}
	for n := int64(0); n < 310; n++ {
		fork.add(n, fmt.Sprintf("forged %d", n))
	}
	if status, _, _ := post(&fork, 300, 310); status != 422 {
		fail(fmt.Sprintf("another history: %d", status))
	}
	fmt.Println(`{"holds": true}`)
}

func main() {
	if os.Args[1] == "log" {
		log()
	} else {
		witness(os.Args[2])
	}
}
