"""placeholder"""


class Presigner: ...
