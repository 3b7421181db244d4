// App prints which platform it was built for and runs on.
package main

import (
	"fmt"
	"os"
	"runtime"
)

var version = "dev"

func main() {
	host, _ := os.Hostname()
	fmt.Printf("app %s for %s/%s on %s\n", version, runtime.GOOS, runtime.GOARCH, host)
}
