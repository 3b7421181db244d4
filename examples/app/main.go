// App prints which platform it was built for.
package main

import (
	"os"
	"runtime"
)

var version = "dev"

func main() {
	os.Stdout.WriteString("app " + version + " for " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
}
