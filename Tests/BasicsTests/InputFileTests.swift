import Foundation
import Testing

@testable import Basics

@Suite("Files, pipes and folders")
struct InputFileTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "attnlab-input-\(UUID().uuidString)"
    try Folder.create(folder)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  @Test("What a pipe gave once can be read again, a file is read anew")
  func pipes() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { close(ends[0]) }
    let written = Array("a,b\n1,2\n".utf8)
    #expect(write(ends[1], written, written.count) == written.count)
    close(ends[1])
    let path = "/dev/fd/\(ends[0])"
    #expect(InputFile.isPipe(path))
    #expect(try InputFile.bytes(path) == written)
    #expect(try InputFile.bytes(path) == written)
    #expect(throws: FileFailure.self) { try InputFile.bytes(path, atMost: 3) }
    try withFolder { folder in
      for text in ["one", "another"] {
        try AtomicFile.write(Array(text.utf8), to: folder + "/f")
        #expect(!InputFile.isPipe(folder + "/f"))
        #expect(try InputFile.text(folder + "/f") == text)
      }
    }
  }

  @Test("Folders are made with those above them, and a file in the way is named")
  func folders() throws {
    try withFolder { folder in
      try Folder.create(folder + "/a/b/c")
      try Folder.create(folder + "/a/b/c")
      try Folder.create(of: folder + "/d/e.txt")
      #expect(FileManager.default.fileExists(atPath: folder + "/d"))
      try AtomicFile.write([1], to: folder + "/f")
      for path in ["\(folder)/f", "\(folder)/f/g"] {
        let error = #expect(throws: FileFailure.self) { try Folder.create(path) }
        #expect(error?.path == path && error?.problem.hasPrefix("the folder cannot be made: ") == true)
      }
      try Folder.rename(folder + "/a", to: folder + "/z")
      #expect(FileManager.default.fileExists(atPath: folder + "/z/b/c"))
      #expect(throws: FileFailure.self) { try Folder.rename(folder + "/a", to: folder + "/y") }
    }
  }
}
