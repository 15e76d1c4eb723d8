"""
Open311 GeoReport v2, read only: what the public may see of a hotline's matters, and nothing else.

``projection`` what is public, one literal list; ``settings`` the site's choices; ``snapshot`` what a
look at the bridge gives; ``asking`` what may be asked; ``answers`` the spec's JSON and XML; ``limits``
who may ask how often; ``serving`` the HTTP side.

Only heads of tickets are read, which hold no personal data; their contents are never fetched.
"""
