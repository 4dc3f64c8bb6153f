"""Label noise for training masks, one file a type: flip, boundary, region, drop, ambiguous.

One runnable line: ``python -c "from seglab.data.noise import Boundary; print(Boundary(rate=0.3).choose(10))"``.
"""

from seglab.data.noise.ambiguous import Ambiguous
from seglab.data.noise.base import Noise
from seglab.data.noise.boundary import Boundary
from seglab.data.noise.drop import Drop
from seglab.data.noise.flip import Flip
from seglab.data.noise.region import Region

__all__ = ["Ambiguous", "Boundary", "Drop", "Flip", "Noise", "Region"]
