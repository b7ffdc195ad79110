import Foundation
import LabTestSupport
import Testing

@testable import Basics

@Suite struct AtomicFileTests {
  private func inFolder(_ body: (String) throws -> Void) throws {
    let scratch = try Scratch()
    try body(scratch.path)
  }

  @Test func replacesAFileAndLeavesNothingElse() throws {
    try inFolder { folder in
      for bytes: [UInt8] in [[1, 2, 3], [4]] {
        try AtomicFile.write(bytes, to: folder + "/a")
        #expect(FileManager.default.contents(atPath: folder + "/a") == Data(bytes))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
    }
  }

  @Test func aBodyThatGivesUpKeepsTheOldFile() throws {
    try inFolder { folder in
      try AtomicFile.write([7], to: folder + "/a")
      #expect(throws: AtomicFile.Failure.self) {
        try AtomicFile.write(to: folder + "/a") { append in
          [8].withUnsafeBytes(append) && false
        }
      }
      #expect(FileManager.default.contents(atPath: folder + "/a") == Data([7]))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
    }
  }

  @Test func aLinkStaysALink() throws {
    try inFolder { folder in
      try AtomicFile.write([7], to: folder + "/a")
      try FileManager.default.createSymbolicLink(atPath: folder + "/b", withDestinationPath: "a")
      try AtomicFile.write([8], to: folder + "/b")
      #expect(FileManager.default.contents(atPath: folder + "/a") == Data([8]))
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/b") == "a")
    }
  }

  @Test func aPipeIsWrittenToAndStaysAPipe() throws {
    try inFolder { folder in
      let path = folder + "/pipe"
      try #require(mkfifo(path, 0o600) == 0)
      let reader = open(path, O_RDONLY | O_NONBLOCK)
      defer { close(reader) }
      try AtomicFile.write([1, 2, 3], to: path)
      var bytes = [UInt8](repeating: 0, count: 8)
      #expect(read(reader, &bytes, 8) == 3 && bytes.prefix(3) == [1, 2, 3])
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
    }
  }

  #if os(Linux)
    @Test func aFullDeviceIsAnErrorAndStaysADevice() throws {
      // Only root could replace it, and root is who must not.
      try #require(access("/dev/full", W_OK) == 0)
      let error = #expect(throws: AtomicFile.Failure.self) { try AtomicFile.write([1], to: "/dev/full") }
      #expect(error?.description == "/dev/full: cannot be written: No space left on device")
      var status = stat()
      #expect(stat("/dev/full", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }
  #endif

  @Test func aFolderAndAMissingFolderAreRefused() throws {
    try inFolder { folder in
      let onto = #expect(throws: AtomicFile.Failure.self) { try AtomicFile.write([1], to: folder) }
      #expect(onto?.description == "\(folder): cannot be written: Is a directory")
      #expect(throws: AtomicFile.Failure.self) { try AtomicFile.write([1], to: folder + "/no/a") }
    }
  }
}
