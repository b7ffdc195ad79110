import Tasks

extension TaskCatalog {
  /// The tasks of images, videos and series.
  public static let images = TaskCatalog([
    Digits.self, Shapes.self, Pathfinder.self, Pixels.self, ImageFiles.self, MovingDigits.self,
    SeriesTask.self,
  ])

  /// The tasks of the lab: `.standard + [MyTask.self]`.
  public static let standard = TaskCatalog(sequences.types + images.types)
}
