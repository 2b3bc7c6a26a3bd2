"""What the layers for images and volumes share: their numbers, sigma on each axis, the steps."""

from nodule_lesson.checking import checked_iterations, checked_number, checked_radius
from nodule_lesson.layers.gaussian import checked_spacing, per_axis
from nodule_lesson.positive import PositiveNumbers


class SpatialLayer(PositiveNumbers):
    """A layer with numbers that it learns or keeps; sigma may differ from axis to axis."""

    def __init__(
        self,
        sigma,
        spacing,
        lambda1,
        epsilon,
        iterations,
        radius,
        gradient,
        learn_sigma,
        learn_lambda1,
    ):
        super().__init__()
        if gradient not in ("unrolled", "implicit"):
            raise ValueError(f'gradient must be "unrolled" or "implicit", found {gradient!r}.')
        self.iterations = checked_iterations(iterations)
        self.radius = checked_radius(radius)
        self.gradient = gradient
        several = isinstance(sigma, (tuple, list))
        self.axes = len(sigma) if several else None  # None: those of u
        if spacing is not None:
            self.axes = len(checked_spacing(spacing, self.axes))
        if self.axes not in (None, 2, 3):
            raise ValueError(f"an image has 2 axes and a volume 3, found {self.axes} numbers.")
        axes = self.axes or 3
        self.spacing = checked_spacing(spacing, axes)
        values = tuple(
            checked_number("sigma", value, positive=True) / mm
            for value, mm in zip(per_axis("sigma", sigma, axes), self.spacing, strict=True)
        )
        # One sigma for all axes is kept in pixels of the finest: below the floor none feels it.
        self.add_number("sigma", values if several else max(values), 0.3, learn_sigma, " pixels")
        lambda1 = checked_number("lambda1", lambda1, positive=False)
        self.add_number("lambda1", lambda1, 1e-6, learn_lambda1)
        self.add_number("epsilon", checked_number("epsilon", epsilon, positive=True), 0, False)

    @property
    def sigma(self):
        """Standard deviation of the Gaussian in the unit that it was given in, pixels or mm."""
        pixels = self.number("sigma")
        return pixels * (pixels.new_tensor(self.spacing) if pixels.ndim else min(self.spacing))

    @property
    def lambda1(self):
        """Weight of the boundary, a 0-d tensor."""
        return self.number("lambda1")

    @property
    def epsilon(self):
        """Weight of the entropy, a 0-d tensor."""
        return self.number("epsilon")

    def widths(self, u):
        """[(sigma in pixels, radius)] for each axis of u; raises ValueError for other axes."""
        axes = u.ndim - 2
        if self.axes not in (None, axes):
            raise ValueError(
                f"sigma and spacing of this layer are for {self.axes} axes, found u with {axes}."
            )
        pixels = self.number("sigma").to(u)
        if pixels.ndim:
            sigmas = pixels.unbind()
        else:
            sigmas = [pixels * (min(self.spacing) / mm) for mm in self.spacing[:axes]]
        return [(one, self.radius) for one in sigmas]
